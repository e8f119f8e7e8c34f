"""Whether lips keep step with the sound: a judge trained on the teacher's motion, `python -m training.motion.sync`."""
