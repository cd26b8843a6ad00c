# Calls on stdin, with the key's numbers; what anymail's view understood of them on stdout.
import base64
import json
import sys

import django
from django.conf import settings

settings.configure(ALLOWED_HOSTS=["*"])
django.setup()

from anymail.signals import tracking  # noqa: E402
from anymail.webhooks.postal import PostalTrackingWebhookView  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: E402
from django.test import RequestFactory  # noqa: E402

given = json.load(sys.stdin)
octets = base64.b64decode
number = lambda text: int.from_bytes(octets(text), "big")  # noqa: E731
key = rsa.RSAPublicNumbers(number(given["e"]), number(given["n"])).public_key()
form = serialization.PublicFormat.SubjectPublicKeyInfo
text = base64.b64encode(key.public_bytes(serialization.Encoding.DER, form)).decode()
told = []


def note(sender, event, esp_name, **kwargs):
    told.append({
        "type": event.event_type, "recipient": event.recipient, "id": event.message_id,
        "response": event.mta_response, "tags": event.tags,
    })


tracking.connect(note)
view = PostalTrackingWebhookView.as_view(webhook_key=text)
for call in given["calls"]:
    body = octets(call["body"])
    key.verify(octets(call["signature256"]), body, padding.PKCS1v15(), hashes.SHA256())
    request = RequestFactory().post(
        "/hook", body, content_type="application/json",
        HTTP_X_POSTAL_SIGNATURE=call["signature"],
    )
    answer = view(request)
    assert answer.status_code == 200, answer
print(json.dumps(told))
