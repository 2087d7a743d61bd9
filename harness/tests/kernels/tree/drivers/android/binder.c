const char driver[] = "the first driver";
