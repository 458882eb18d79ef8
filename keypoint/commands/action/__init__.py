"""The commands of action recognition; keypoint.commands.task chooses between the two tasks."""
