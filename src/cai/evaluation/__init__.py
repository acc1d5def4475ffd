"""How good a judge is: its agreement with people, and its own habits."""
