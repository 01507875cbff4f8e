"""Names inside a statement, where no value can be bound."""


def quoted(name: str) -> str:
    """A column that the store itself lists, as a statement names it.

    Quoted, since a file of scores may have a column named select; and no quote in it ends it.
    """
    return '"' + name.replace('"', '""') + '"'
