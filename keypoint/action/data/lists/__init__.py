"""Lists and folders of videos in the forms in which they are published, read into one."""
