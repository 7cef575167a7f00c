"""Every kind of message as a mail server gets it, compared with `tests/mails/golden`."""

from tests.mails.received import GOLDEN, receive


async def test_mails_are_as_stored() -> None:
    """After a change: `python -m tests.mails.received`, and look at the difference."""
    got = await receive()
    assert got == {path.stem: path.read_text("utf-8") for path in GOLDEN.glob("*.eml")}
