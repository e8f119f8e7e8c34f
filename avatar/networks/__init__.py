"""The networks as torch modules; used by training and export, never by serving."""
