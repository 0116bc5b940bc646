// Every verb, by the file that has it.
#pragma once
#include "tools/cli/verb.h"

namespace fovea::cli {

extern const Verb kVersion, kBench, kDevices, kTrainLm, kGenerate, kCkptLs, kCkptShow, kCkptVerify, kCkptDiff;

}  // namespace fovea::cli
