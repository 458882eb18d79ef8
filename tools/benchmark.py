#!/usr/bin/env python
"""Time the data path and the network: tools/benchmark.py data, tools/benchmark.py model."""

from __future__ import annotations

import argparse
import platform
import shlex
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import straightforward
import torch
from benchmark_report import bullet, machine, table, versions, write_section

from keypoint import cli
from keypoint.data.augment import Augmentation, PersonCrop, warp
from keypoint.data.batches import EvaluationDataset, TrainDataset
from keypoint.data.coco import Persons, load_persons
