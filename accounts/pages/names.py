"""What a person calls a device."""

from __future__ import annotations

import re
from typing import Final

from django.utils.translation import pgettext
from ua_parser import parse

_PRODUCT: Final = re.compile(r"[\w.-]+")


def device_name(user_agent: str) -> str:
    """Return what a person calls the device: ``"Firefox on Windows"``.

    Of a program that is no browser, the first product that it names (RFC 9110 §10.1.5); empty
    where there is nothing to tell.
    """
    known = parse(user_agent)
    program = known.user_agent.family if known.user_agent else ""
    if not program:
        product = _PRODUCT.match(user_agent)
        return product[0] if product else ""
    device = known.os.family if known.os else ""
    if known.device and known.device.model and not str(known.device.brand).startswith("Generic"):
        device = known.device.model
    if not device:
        return program
    return pgettext("drf_logout", "%(program)s on %(device)s") % {
        "program": program,
        "device": device,
    }
