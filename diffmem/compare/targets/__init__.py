"""Targets: what a comparison draws samples from, each with the images it was trained on.

base         a target, its images, its model and the space they meet in
open         words of the command line -> targets
run          checkpoints of a run
bookends     the exact denoiser of the training images, the exact score of the population
study        checkpoints that the reference code saved
diffusers    models that diffusers saved
samples      samples made elsewhere
checkpoints  which steps of one training are meant
read_images  images of a folder or a tensor file as pixels
weights      weights of others, read without running their code
"""
