# SPDX-License-Identifier: GPL-2.0-only
"""Images through Debian's crit: decoded to its JSON and encoded again they must be the same bytes.

What crit does is done here without starting it for each file. An older crit drops fields that it does not know: then what
it decodes from its own copy must be the same. Pages are no images to crit, and files of Thaw's own have no name there.
"""
import io
import json
import os

from thawtest import Skip, check

try:
    import pycriu
except ImportError as e:
    pycriu, why = None, e


def decode(data):
    return json.dumps(pycriu.images.load(io.BytesIO(data), False))


def encode(text):
    out = io.BytesIO()
    pycriu.images.dump(json.loads(text), out)
    return out.getvalue()


def check_image(path):
    with open(path, "rb") as f:
        data = f.read()
    try:
        text = decode(data)
    except Exception as e:  # whatever the library says
        check(False, f"crit does not decode {path}: {e!r}")
    try:
        copy = encode(text)
    except Exception as e:
        check("missing required fields: type" in str(e), f"crit does not encode {path}: {e!r}")
        print(f"note: this crit is older than a type of file in {path}")
        return
    if copy != data:
        check(len(copy) < len(data) and decode(copy) == text, f"crit encodes {path} differently")


def check_images(directory):
    """All images of a dump."""
    if not pycriu:
        raise Skip(f"no pycriu for this Python: {why}")
    names = [n for n in os.listdir(directory) if n.endswith(".img") or n in ("stats-dump", "stats-restore")]
    names = [n for n in names if not n.startswith("pages-")]
    check(names, f"there are no images in {directory}")
    for name in names:
        check_image(os.path.join(directory, name))
    print(f"crit: {len(names)} images")
