"""The kernels' device code without a GPU: nvcc's PTX is run thread by thread, its machine code is counted.

nox runs it where nvcc is.
"""
