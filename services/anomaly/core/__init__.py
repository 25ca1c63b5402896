"""What errors mean: maps, frame scores, regions, regularity, AUC. Arrays in, arrays out."""
