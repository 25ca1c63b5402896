"""Who is who: tables that are the truth, an index that is their cache, one writer."""
