"""Recipients that record their messages."""

from dataclasses import dataclass, field

from trading_ops.domain.target import Target


@dataclass
class Heard:
    """Keeps what was said, as long as there is room."""

    room: int = 1
    messages: list[tuple[str, str]] = field(default_factory=list)

    def show(self, target: Target, message: str) -> bool:
        if len(self.messages) >= self.room:
            return False
        self.messages.append((target.name, message))
        return True
