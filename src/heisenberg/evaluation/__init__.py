"""Score diagnoses against runs whose cause is known."""

from heisenberg.evaluation.printing import render_json, render_text
from heisenberg.evaluation.run import evaluate
from heisenberg.evaluation.scores import Evaluation

__all__ = ["Evaluation", "evaluate", "render_json", "render_text"]
