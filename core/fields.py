"""Parameters of methods and policies: pydantic's complaint as the product's one sentence."""

from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError


class Complaint(NamedTuple):
    """What is wrong with a parameter, for an error of the product's own tree."""

    field: str
    what: str
    details: dict[str, Any]  # got and do, as `SFTLensError` takes them


def complaint(cls: type[BaseModel], error: ValidationError) -> Complaint:
    """The first thing that pydantic found wrong with the parameters of `cls`."""
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        do = f"Use one of: {', '.join(cls.model_fields) or 'none, it has no parameters'}."
        return Complaint(field, "there is no such parameter", {"do": do})
    what = first["msg"][:1].lower() + first["msg"][1:]
    about = cls.model_fields[field].description if field in cls.model_fields else None
    do = f"It is the {about}." if about else ""
    return Complaint(field, what, {"got": first["input"], "do": do})
