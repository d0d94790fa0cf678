"""The ways in which a text can reach the log."""

import logging
import threading
import warnings

import structlog

LOG = structlog.get_logger()


def fail(error: Exception) -> None:
    raise error


def as_event(text: str) -> None:
    LOG.info(text)


def as_field(text: str) -> None:
    LOG.warning("something", detail=text)


def as_nested_field(text: str) -> None:
    LOG.info("something", request={"headers": [["X-Forwarded", text]], "more": (text, {text})})


def as_bytes(text: str) -> None:
    LOG.info("something", body=text.encode())


def as_object(text: str) -> None:
    LOG.info("something", error=ValueError(text))


def as_exception(text: str) -> None:
    try:
        fail(ValueError(text))
    except ValueError:
        LOG.exception("something failed")


def as_cause(text: str) -> None:
    try:
        try:
            fail(KeyError(text))
        except KeyError as error:
            raise RuntimeError("outer") from error
    except RuntimeError:
        LOG.exception("something failed")


def as_standard_log(text: str) -> None:
    logging.getLogger("urllib3.connectionpool").warning("Retrying after %s", text)


def as_bad_standard_log(text: str) -> None:
    two_arguments = "Invalid %s %s: " + text
    logging.getLogger("gunicorn.error").error(two_arguments, "one")


def as_standard_exception(text: str) -> None:
    try:
        fail(OSError(text))
    except OSError:
        logging.getLogger("gunicorn.error").exception("Error handling request")


def as_warning(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(text, stacklevel=1)


def as_thread(text: str) -> None:
    thread = threading.Thread(target=fail, args=(RuntimeError(text),))
    thread.start()
    thread.join()


SINKS = [
    as_event,
    as_field,
    as_nested_field,
    as_bytes,
    as_object,
    as_exception,
    as_cause,
    as_standard_log,
    as_bad_standard_log,
    as_standard_exception,
    as_warning,
    as_thread,
]
