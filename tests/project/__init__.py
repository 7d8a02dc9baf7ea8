"""Tests of what is around the code: releases, workflows, the README of the package index."""
