"""For each line of standard input, a JSON string with a From value: a JSON list of the domains
that Python's two address parsers find in it."""

import email.policy
import email.utils
import json
import sys

for line in sys.stdin:
    value = json.loads(line)
    domains = set()
    for _, address in email.utils.getaddresses([value], strict=False) \
            if "strict" in email.utils.getaddresses.__code__.co_varnames \
            else email.utils.getaddresses([value]):
        if "@" in address:
            domains.add(address.rpartition("@")[2])
    try:
        field = email.policy.default.header_factory("From", value)
        domains.update(one.domain for one in field.addresses if one.domain)
    except Exception:
        # The newer parser gives up on some input; then it shows nothing to anybody.
        pass
    print(json.dumps(sorted(domain.strip().lower() for domain in domains)))
