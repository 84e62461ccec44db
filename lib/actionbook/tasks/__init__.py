"""What is asked of a network: its loss, its scores, and which score is the main one. By the name in the recipe."""

from __future__ import annotations

from actionbook.core import sections
from actionbook.core.score import Score
from actionbook.tasks.classification import Classification
from actionbook.tasks.detection import Detection
from actionbook.tasks.predictions import Predictions, Task, TaskError

__all__ = ["Classification", "Detection", "Predictions", "Score", "Task", "TaskError", "task_of"]


def task_of(section: sections.Classification | sections.Detection) -> Task:
    """The task that a recipe's section `task` names."""
    return Classification() if isinstance(section, sections.Classification) else Detection()
