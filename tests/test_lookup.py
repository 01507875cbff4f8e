"""One sample out of many parts, against reading all of them."""

import numpy as np

from core import blocks, lookup


def written(folder, parts=4, each=3):
    ids = [[f"{p}{k}".rjust(16, "x") for k in range(each)] for p in range(parts)]
    for p, some in enumerate(ids):
        text = np.array([[f"{i} says {j}".encode() for j in range(2)] for i in some])
        blocks.write_part(folder, some, {"text": text, "number": np.arange(each) + 10 * p})
    return [i for some in ids for i in some]


def test_every_sample_has_the_arrays_that_reading_all_parts_gives(tmp_path):
    ids = written(tmp_path)
    held = lookup.index(tmp_path)
    whole = blocks.gather(tmp_path, ids)
    for k, sample_id in enumerate(ids):
        assert lookup.find(held, sample_id, "number") == whole["number"][k]
        assert lookup.find(held, sample_id, "text").tolist() == whole["text"][k].tolist()


def test_what_is_not_held_is_none(tmp_path):
    ids = written(tmp_path)
    held = lookup.index(tmp_path)
    assert lookup.find(held, "nobody", "text") is None
    assert lookup.find(held, "zzzzzzzzzzzzzzzzzzzz", "text") is None
    assert lookup.find(held, ids[0], "colour") is None
    assert lookup.find(lookup.index(tmp_path / "gone"), ids[0], "text") is None


def test_a_damaged_part_hides_its_own_samples_only(tmp_path):
    ids = written(tmp_path)
    broken = min(tmp_path.glob("part-*.npz"))
    inside = set(np.load(broken)["ids"].tolist())
    broken.write_bytes(b"nothing of the kind")
    held = lookup.index(tmp_path)
    for sample_id in ids:
        gone = sample_id.encode() in inside
        assert (lookup.find(held, sample_id, "text") is None) == gone
    assert broken.is_file()


def test_a_part_that_goes_after_the_index_was_made_is_none(tmp_path):
    ids = written(tmp_path)
    held = lookup.index(tmp_path)
    for path in tmp_path.glob("part-*.npz"):
        path.unlink()
    assert lookup.find(held, ids[0], "text") is None
