// The program `baleen` with the extension linked in.
#include "launch/program.h"

void add_extension(baleen::Extensions& extensions);

int main(int argc, char** argv) { return baleen::run_program(argc, argv, add_extension); }
