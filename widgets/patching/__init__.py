"""The panel Patching in parts: what is asked, the linked views of what was found, and the words for it."""
