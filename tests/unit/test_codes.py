"""Codes are compared by identity everywhere, so there is one instance of each."""

import pytest

from holdfast import _native as native

CODE_SETS = [kind for kind in vars(native).values() if isinstance(kind, type) and hasattr(kind, "values")]


@pytest.mark.parametrize("kind", CODE_SETS, ids=lambda kind: kind.__name__)
def test_a_code_made_of_its_label_is_the_one_instance(kind: type[native.Side]) -> None:
    for code in kind.values():
        assert kind(code.label) is code
    with pytest.raises(ValueError, match="is not a"):
        kind("no such label")
