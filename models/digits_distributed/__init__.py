"""The digits network trained by one process and by two: are slopes and weights the same?"""
