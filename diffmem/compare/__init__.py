"""Compare checkpoints: what each copies, how much, and whether the difference is real.

targets     what is compared: a generator of samples and the images it was trained on
own         checkpoints of a run, and the exact bookends
foreign     the reference code's saves, diffusers' folders, samples made elsewhere
images      images from a folder or a tensor file
compare     targets -> tables
command     the verb `diffmem compare`
"""
