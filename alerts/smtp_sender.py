"""The production `SmtpSender`: aiosmtplib, one connection per message."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

import aiosmtplib
from aiosmtplib import errors

from alerts.destinations import SmtpDestination
from alerts.errors import SendError
from alerts.ports import SmtpAnswer
from alerts.reasons import Reason

_DEFAULT_PORT = {"starttls": 587, "tls": 465, "none": 25}


class AiosmtplibSender:
    async def send(
        self,
        destination: SmtpDestination,
        password: str | None,
        recipients: Sequence[str],
        message: bytes,
    ) -> SmtpAnswer:
        """One mail transaction; a refused recipient does not stop the others.

        Raises `SendError`; a recipient's refusal is part of the answer and not an error.
        """
        try:
            async with asyncio.timeout(destination.timeout_ms / 1000):
                return await self._send(destination, password, recipients, message)
        except TimeoutError as error:
            raise SendError(Reason.TIMEOUT, f"no answer in {destination.timeout_ms} ms") from error
        except errors.SMTPRecipientsRefused as error:
            return SmtpAnswer(
                "", {one.recipient: (one.code, one.message) for one in error.recipients}
            )
        except errors.SMTPAuthenticationError as error:
            raise SendError(Reason.AUTHENTICATION, _reply(error), error.code) from error
        except errors.SMTPResponseException as error:
            # 5yz: this message, or we as its sender, will not be taken; 4yz: later perhaps.
            reason = Reason.REFUSED if error.code >= 500 else Reason.SERVER_ERROR
            raise SendError(reason, _reply(error), error.code) from error
        except (OSError, errors.SMTPException, ssl.SSLError) as error:
            raise SendError(Reason.NETWORK, f"{type(error).__name__}: {error}") from error

    async def _send(
        self,
        destination: SmtpDestination,
        password: str | None,
        recipients: Sequence[str],
        message: bytes,
    ) -> SmtpAnswer:
        context = ssl.create_default_context(
            cafile=None if destination.ca_file is None else str(destination.ca_file)
        )
        client = aiosmtplib.SMTP(
            hostname=destination.host,
            port=destination.port or _DEFAULT_PORT[destination.tls],
            username=destination.user,
            password=password,
            use_tls=destination.tls == "tls",
            start_tls=destination.tls == "starttls",
            tls_context=context,
            timeout=destination.timeout_ms / 1000,
            # Not the machine's name: looking that up may block, and it is nobody's business.
            local_hostname=destination.sender.partition("@")[2],
        )
        async with client:
            refused, text = await client.sendmail(destination.sender, list(recipients), message)
        return SmtpAnswer(
            text, {who: (reply.code, reply.message) for who, reply in refused.items()}
        )


def _reply(error: errors.SMTPResponseException) -> str:
    return f"{type(error).__name__}: {error.code} {error.message}"
