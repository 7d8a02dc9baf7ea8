"""Needs torch and safetensors: training by export_step and Trainer."""
