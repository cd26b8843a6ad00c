"""Reads the report on standard input with Python's email package and prints what it found, as JSON."""

import email
import email.policy
import json
import sys

mail = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
human, machine, returned = mail.iter_parts()


def defects(part):
    found = [str(defect) for defect in part.defects]
    if part.is_multipart():
        for inner in part.get_payload():
            found += defects(inner)
    return found


print(json.dumps({
    "type": mail.get_content_type(),
    "report_type": mail.get_param("report-type"),
    "to": mail["To"],
    "auto_submitted": mail["Auto-Submitted"],
    "human": human.get_content(),
    "machine_type": machine.get_content_type(),
    "groups": [dict(group.items()) for group in machine.get_payload()]
    if machine.is_multipart() else [],
    "returned_type": returned.get_content_type(),
    "defects": defects(mail),
}))
