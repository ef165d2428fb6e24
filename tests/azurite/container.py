"""Creates a container in Azurite: container.py http://127.0.0.1:PORT NAME. The account and its key are Azurite's own."""

import base64
import hashlib
import hmac
import sys
import urllib.request
from email.utils import formatdate

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

endpoint, name = sys.argv[1:]
now, version = formatdate(usegmt=True), "2021-08-06"
text = "PUT" + "\n" * 12 + f"x-ms-date:{now}\nx-ms-version:{version}\n/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
signature = base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()).decode()
request = urllib.request.Request(
    f"{endpoint}/{ACCOUNT}/{name}?restype=container",
    method="PUT",
    headers={"x-ms-date": now, "x-ms-version": version, "Authorization": f"SharedKey {ACCOUNT}:{signature}"},
)
with urllib.request.urlopen(request, timeout=30) as answer:
    assert answer.status == 201, answer.status
