"""`fanfold events snapshot`: the public topics without the records that later ones have overtaken, so that a new view need not read all of history."""
