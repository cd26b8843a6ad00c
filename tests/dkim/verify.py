"""Verifies every signature of DIRECTORY/*.eml with dkimpy, public keys from DIRECTORY/zone.json.

Prints a line for each mail: its name and, for each signature, pass or fail. Then it attacks each
mail in fourteen ways and says `attacked` when a signature of it still passes.
"""

import json
import pathlib
import re
import sys

import dkim

directory = pathlib.Path(sys.argv[1])
zone = json.loads((directory / "zone.json").read_text())


def txt(name, timeout=5):
    return zone[name.decode().rstrip(".")].encode()


def verdicts(mail):
    found = mail.split(b"\r\n\r\n", 1)[0].lower().count(b"\r\ndkim-signature:")
    found += mail.lower().startswith(b"dkim-signature:")
    for index in range(found):
        try:
            yield dkim.DKIM(mail, timeout=5).verify(index, dnsfunc=txt)
        except dkim.DKIMException as error:
            print(f"# {error}", file=sys.stderr)
            yield False


def attacks(mail):
    head, body = mail.split(b"\r\n\r\n", 1)
    head += b"\r\n"
    # Below the signatures, so that a reader who takes the first field sees the forged one.
    at = head.index(b"\r\nX-Here:") + 2
    for field in (
        b"From: evil@evil.example\r\n",
        b"Subject: evil\r\n",
        b"Reply-To: evil@evil.example\r\n",
        b"To: evil@evil.example\r\n",
        b"Content-Type: text/html\r\n",
    ):
        yield head[:at] + field + head[at:] + b"\r\n" + body
        yield head + field + b"\r\n" + body
    yield head + b"\r\n" + body + b"evil\r\n"
    yield re.sub(rb"(?mi)^(From:)", rb"\1 evil", head) + b"\r\n" + body
    yield re.sub(rb"([ \t])t=", rb"\1l=0; t=", head) + b"\r\n" + body
    yield re.sub(rb"([ \t])x=", rb"\1x=9", head) + b"\r\n" + body


for path in sorted(directory.glob("*.eml")):
    mail = path.read_bytes()
    words = ["pass" if passed else "fail" for passed in verdicts(mail)]
    print(path.name, *words, flush=True)
    for number, attacked in enumerate(attacks(mail)):
        if any(verdicts(attacked)):
            print("attacked", path.name, number, flush=True)
