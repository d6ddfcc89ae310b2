#include "launch/program.h"

int main(int argc, char** argv) { return baleen::run_program(argc, argv); }
