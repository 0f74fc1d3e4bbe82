"""Compare checkpoints: what each copies, how much, and whether the difference is real.

targets     what is compared: a way to draw samples, and the images it was trained on
measure     one target -> its row, its samples, its sheet
tables      the targets together: pairs and their tests, copied images, ranks
comparison  targets -> everything that is told of them
inputs      what decides a comparison, and the folder that is named after it
"""
