#!/usr/bin/env python3
"""fuzz/corpus.py unpack|pack TARGET FOLDER: the inputs of a target as files for libFuzzer, and back.

They are kept in fuzz/corpus/TARGET.json, a list of texts in which each character stands for a byte.
"""

import hashlib
import json
import pathlib
import sys

what, target, folder = sys.argv[1:]
packed = pathlib.Path(__file__).resolve().parent / "corpus" / f"{target}.json"
folder = pathlib.Path(folder)
if what == "unpack":
    folder.mkdir(parents=True, exist_ok=True)
    for text in json.loads(packed.read_text()) if packed.exists() else []:
        data = text.encode("latin-1")
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)
elif what == "pack":
    texts = sorted(file.read_bytes().decode("latin-1") for file in folder.iterdir())
    packed.parent.mkdir(exist_ok=True)
    packed.write_text(json.dumps(texts, indent=0) + "\n")
else:
    sys.exit(__doc__)
