"""The one error of model files, with a reason that a program can tell apart."""

from __future__ import annotations

from chatbot_ai.domain.errors import ChatbotError
from chatbot_ai.messages import Language, get_message


class ModelFileError(ChatbotError):
    """A model file is missing, wrong, or cannot be had.

    `reason` is a key of messages/models.toml, `params` its values; `str(error)` is English.
    """

    code = "model_file_error"

    def __init__(self, reason: str, **params: object) -> None:
        super().__init__(get_message(f"models.{reason}", "en", **params))
        self.reason, self.params = reason, params

    def explain(self, language: Language) -> str:
        """Return what is wrong and what to do about it, in one sentence."""
        return get_message(f"models.{self.reason}", language, **self.params)
