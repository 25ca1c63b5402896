"""Training and evaluation of re-identification: person crops in, ONNX files with cards out."""
