"""Records as JSON: one screening to one line of text, and back the same.

The text is plain ASCII with sorted keys, so equal screenings give equal bytes,
whatever a header held (NUL, half a surrogate pair) survives any database, and
a result can be read without this program.
"""

import json
from functools import cache

from cattrs import Converter

from records.model import Screening

__all__ = ["screening_from_json", "screening_to_json"]


@cache
def _converter() -> Converter:
    """Return the converter between records and JSON values, made once."""
    converter = Converter(forbid_extra_keys=True)
    # Arithmetic hands over numpy scalars, which json does not know.
    converter.register_unstructure_hook(float, float)
    converter.register_unstructure_hook(int, int)
    converter.register_unstructure_hook(bool, bool)
    return converter


def screening_to_json(screening: Screening) -> str:
    """Return a screening as one line of JSON.

    Raises
    ------
    ValueError
        If a number is infinite or not a number: a result nobody could compare.
    """
    values = _converter().unstructure(screening, unstructure_as=Screening)
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)


def screening_from_json(text: str) -> Screening:
    """Return the screening that `screening_to_json` wrote."""
    return _converter().structure(json.loads(text), Screening)
