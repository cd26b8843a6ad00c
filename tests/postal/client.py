# What an application does with django-anymail.
import os
import smtplib
import ssl

import django
from django.conf import settings

settings.configure(
    EMAIL_BACKEND="anymail.backends.postal.EmailBackend",
    ANYMAIL={
        "POSTAL_API_URL": "https://mail.shop.test",
        "POSTAL_API_KEY": os.environ["KEY"],
    },
)
django.setup()

from django.core.mail import EmailMultiAlternatives  # noqa: E402

mail = EmailMultiAlternatives("from anymail", "hi", os.environ["FROM"], [os.environ["TO"]])
mail.attach_alternative("<p>hi</p>", "text/html")
mail.attach("a.csv", b"1,2", "text/csv")
mail.extra_headers["X-Shop"] = "7"
mail.tags = ["anymail"]
mail.send()
status = mail.anymail_status
assert status.recipients[os.environ["TO"]].message_id, status
print("anymail", *status.status)

# To SMTP it signs in with any name: the key alone counts.
context = ssl.create_default_context(cafile="ca.pem")
with smtplib.SMTP_SSL("mail.shop.test", 441, timeout=60, context=context) as smtp:
    smtp.login("organization/server", os.environ["KEY"])
    text = f"From: {os.environ['FROM']}\r\nX-Postal-Tag: smtp\r\n\r\nhi\r\n"
    smtp.sendmail(os.environ["FROM"], [os.environ["TO"]], text)
print("smtp taken")
