"""Runs every test and prints one closing line: unit, contract and fuzz-replay by ctest, the rest by pytest. Arguments go to pytest."""
import os
import re
import subprocess
import sys
import xml.etree.ElementTree

if __name__ == "__main__":
    os.environ.setdefault("STANDPIPE_BIN", os.path.abspath("build/dev/bin"))
    os.environ.setdefault("STANDPIPE_RELEASE_BIN", os.path.abspath("build/release/bin"))
    os.environ.setdefault("STANDPIPE_DEPS", os.path.abspath("build/deps"))
    os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=1:allocator_may_return_null=1")
    passed = failed = skipped = 0
    for preset, which in (("dev", "."), ("tsan", "^writer_test$")) if len(sys.argv) == 1 else ():
        out = subprocess.run(["ctest", "--preset", preset, "-R", which, "-j", str(os.cpu_count()), "--no-tests=error"], stdout=subprocess.PIPE, text=True)
        print(out.stdout, end="", flush=True)
        log = open(f"build/{preset}/Testing/Temporary/LastTest.log", errors="replace").read()
        print("".join(re.findall(r"^agree: .*\n", log, re.M)), end="", flush=True)  # how many inputs were compared
        bad, total = map(int, re.search(r"(\d+) tests? failed out of (\d+)", out.stdout).groups())
        passed, failed = passed + total - bad, failed + bad
    report = "build/pytest.xml"
    code = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", "--durations=10", f"--junitxml={report}",
                           "-o", "python_files=*_test.py", *(sys.argv[1:] or ["-q"]), "tests"]).returncode
    suite = xml.etree.ElementTree.parse(report).getroot().find("testsuite")
    bad, skips = int(suite.get("failures")) + int(suite.get("errors")), int(suite.get("skipped"))
    passed, failed, skipped = passed + int(suite.get("tests")) - bad - skips, failed + bad, skipped + skips
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed or code not in (0,) else 0)
