"""Other toolkits by name, each with the color order that its weights expect; without torch."""

COLOR_ORDERS = {"simple_baseline": "bgr", "hrnet": "rgb", "mmpose": "rgb"}
