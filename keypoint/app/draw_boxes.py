"""Person boxes drawn on the page's picture with mouse or finger, by draw_boxes.js.

All of this runs in the browser. The boxes are kept in a table, which is sent to the server.
"""

from __future__ import annotations

import json
from pathlib import Path

from keypoint.app.picture import BOX_COLUMNS

NO_BOXES = [[None] * len(BOX_COLUMNS)]  # the table with one empty row

DRAW = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
STYLE = """
#drawing .html-container { padding: 0; }
#drawing .has_children { gap: 0; }
#picture img { object-fit: contain; }
#remove-last, #remove-all, #again, #save { min-height: 44px; }
.drawn-boxes { position: absolute; cursor: crosshair; touch-action: pinch-zoom; }
.drawn-boxes rect { fill: none; vector-effect: non-scaling-stroke; }
.drawn-boxes .halo { stroke: white; stroke-width: 4px; }
.drawn-boxes .line { stroke: #2563eb; stroke-width: 2px; }
"""

# JavaScript functions for gradio's events; each returns the list of its outputs. A row is used if
# any cell is filled in, and is drawn once it is complete.
_ROWS = "table.data.filter(row => row.some(cell => cell !== '' && cell !== null))"
_TABLE = f"[{{...table, data: rows.length ? rows : {json.dumps(NO_BOXES)}}}]"
ADD_DRAWN = f"(drawn, table) => {{ const rows = [...{_ROWS}, drawn.at(-1)]; return {_TABLE}; }}"
REMOVE_LAST = f"table => {{ const rows = {_ROWS}.slice(0, -1); return {_TABLE}; }}"
REMOVE_ALL = f"table => {{ const rows = []; return {_TABLE}; }}"
SHOW_ROWS = (
    f"table => [{_ROWS}.filter(row => row.every(cell => cell !== '' && cell !== null))"
    ".map(row => row.map(Number)).filter(row => row.every(isFinite) && row[2] > 0 && row[3] > 0)]"
)
