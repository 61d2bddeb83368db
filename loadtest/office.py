"""Locust file: people at work ask the office assistant. `locust -f loadtest/office.py`."""

from chatbot_ai.tools.loadtest.users import OfficePerson

__all__ = ["OfficePerson"]
