"""All metadata is in setup.cfg; this file lets old tools run ``python setup.py``."""

from setuptools import setup

setup()
