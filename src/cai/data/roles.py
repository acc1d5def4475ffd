"""Who speaks in a turn: the names of roles in use, declared once.

Example:
    read_role("prompter", "messages[0]")    # "user"
    read_role("tool", "messages[2]")        # a RowError: dialogues with tools are not read
"""

from typing import TypeAlias

from cai.data.tables import RowError
from cai.types import MessageRole

RoleNames: TypeAlias = tuple[tuple[str, MessageRole], ...]
"""What the user says of names of roles in their files: `(("nurse", "assistant"),)`."""

ROLES: dict[str, MessageRole] = {
    **dict.fromkeys(("system", "developer", "system_prompt"), "system"),
    **dict.fromkeys(("user", "human", "prompter", "customer", "instruction", "question"), "user"),
    **dict.fromkeys(
        (
            *(
                "assistant",
                "gpt",
                "chatgpt",
                "gpt4",
                "gpt-4",
                "bot",
                "model",
                "ai",
                "llm",
                "answer",
            ),
            *("bing", "bard", "claude", "gemini", "chatbot", "agent", "response", "ai_assistant"),
        ),
        "assistant",
    ),
}
_TOOL_ROLES = {
    *(
        "tool",
        "tools",
        "function",
        "function_call",
        "function_response",
        "function_result",
        "function response",
    ),
    *("observation", "ipython", "tool_call", "tool_calls", "tool_response", "tool_result"),
    *("tool_output", "environment"),
}


def read_role(name: object, label: str) -> MessageRole:
    """The role of that name, whatever its case.

    Raises:
        RowError: It is the role of a tool, or an unknown one.
    """
    known = name.strip().casefold() if isinstance(name, str) else ""
    role = ROLES.get(known)
    if role is not None:
        return role
    if known in _TOOL_ROLES:
        raise tool_error(f"{label!r} is a tool turn (role {name!r})")
    raise RowError(
        f"{label!r} has the role {name!r:.60}, not one of {', '.join(ROLES)}; name others with "
        "--role NAME=user",
        "malformed",
    )


def tool_error(found: str) -> RowError:
    """The error of a row with tool calls; without them its later turns are about nothing."""
    return RowError(f"{found}, and dialogues with tools are not read", "malformed")
