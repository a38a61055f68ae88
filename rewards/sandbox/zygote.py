"""A Python interpreter that has its modules loaded and forks a box for each request of the warden's form.

The request names no program but "role" and, as file 3, the text to run:
  script  the text is the program, as `python3 FILE` would run it
  call    the text defines a function (or a class Solution that has it); file 4 is its call, file 5 takes the value
  serve   the text defines functions; file 4 is a socket on which calls come and results go, as plain values
  check   the text is a test that calls functions of a program served in another box, over file 4; file 5 is the task's
          prompt; it ends with code 77 where a value of the test cannot go there, and with 78 where the program gave an
          object that claims to equal whatever it is compared with
"""
import array, ast, builtins, ctypes, gc, importlib, io, json, operator, os, select, signal, socket, sys, types

CONTROL = 3
libc = ctypes.CDLL(None, use_errno=True)


def preload(names):
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            pass


def expect(result, step):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), step[0] + " " + str(step[1:3]))


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_char_p)]


def take(step):
    """The steps of rewards/sandbox/isolation.h."""
    name, *values = step
    if name == "unshare":
        expect(libc.unshare(values[0]), step)
    elif name == "write":
        file = os.open(values[0], os.O_WRONLY)
        os.write(file, values[1].encode())
        os.close(file)
    elif name == "mount":
        source, target, kind, flags, data = values
        expect(libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()), step)
    elif name == "chdir":
        os.chdir(values[0])
    elif name == "limit":
        both = (ctypes.c_ulong * 2)(values[1], values[1])
        expect(libc.setrlimit(values[0], both), step)
    elif name == "prctl":
        expect(libc.prctl(values[0], ctypes.c_ulong(values[1]), 0, 0, 0), step)
    elif name == "capset":
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
        expect(libc.capset(header, (ctypes.c_uint32 * 6)()), step)
    elif name == "filter":
        program = bytes.fromhex(values[0])
        expect(libc.prctl(22, 2, ctypes.byref(Filter(len(program) // 8, program)), 0, 0), step)  # PR_SET_SECCOMP
    else:
        raise ValueError("no step " + name)


def attend(box, lease):
    """Waits for the box; a closed lease kills it. Says how it ended."""
    watched = select.poll()
    watched.register(os.pidfd_open(box), select.POLLIN)
    watched.register(lease, 0)
    if any(event & select.POLLHUP for _, event in watched.poll()):
        os.kill(box, signal.SIGKILL)
    _, status, used = os.wait4(box, 0)
    end = {"cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss * 1024}
    if os.WIFSIGNALED(status):
        end["signal"] = os.WTERMSIG(status)
    else:
        end["code"] = os.WEXITSTATUS(status)
    lease.send(json.dumps(end).encode())


def place_files(files, lease):
    high = [os.dup2(file, 100 + i) for i, file in enumerate(files)]
    kept = os.dup2(lease.fileno(), 200, inheritable=False)
    os.closerange(0, 100)
    for i, file in enumerate(high):
        os.dup2(file, i, inheritable=i < 3)
    os.closerange(100, 200)
    os.closerange(201, 256)
    return kept


def read_all(file):
    with open(file, "rb") as text:
        return text.read()


# ---- plain values between two boxes: what JSON has not is an array that begins with its name


def agrees(value):
    """Whether an object of the program's own claims to equal things that differ from one another."""
    if type(value).__module__ == "builtins" or isinstance(value, (type, types.FunctionType)):
        return False
    claims = 0
    for stranger in (object(), 0, 1, 2.5, "", "a", None, True, [], (1,), {}):
        try:
            claims += bool(value == stranger) + bool(stranger == value) > 0
        except Exception:
            pass
    return claims > 3  # 1 equals True; a number in disguise equals no more than that


def no_plain_value(value):
    raise TypeError("no plain value: " + type(value).__name__)


def encode(value, depth=0, opaque=no_plain_value):
    """Only built-in types go through, by the methods of the built-in type itself, whatever a subclass redefines."""
    if depth > 100:
        raise ValueError("nested too deeply")
    if value is None or value is True or value is False:
        return value
    if agrees(value):
        return ["hack", type(value).__name__]
    below = lambda values: [encode(one, depth + 1, opaque) for one in values]
    if isinstance(value, int):
        value = int.__add__(value, 0)
        return ["int", int.__repr__(value) if int.bit_length(value) < 10000 else hex(value)]  # decimal digits are bounded
    if isinstance(value, float):
        return ["float", float.__repr__(value)]
    if isinstance(value, complex):
        return ["complex", float.__repr__(value.real), float.__repr__(value.imag)]
    if isinstance(value, str):
        return ["str", str.__str__(value).encode("utf-8", "surrogatepass").hex()] if not str.isascii(value) else str.__str__(value)
    if isinstance(value, (bytes, bytearray)):
        return ["bytes", bytes(value).hex()]
    for kind, name in ((list, "list"), (tuple, "tuple"), (set, "set"), (frozenset, "frozenset")):
        if isinstance(value, kind):
            return [name, *below(kind.__iter__(value))]
    if isinstance(value, dict):
        return ["dict", *([encode(k, depth + 1, opaque), encode(v, depth + 1, opaque)] for k, v in dict.items(value))]
    if isinstance(value, range):
        return ["range", value.start, value.stop, value.step]
    if isinstance(value, type) and value.__module__ == "builtins":
        return ["type", value.__name__]
    if isinstance(value, BaseException):
        return ["exception", type(value).__name__, str(value)]
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return encode(value.tolist(), depth + 1, opaque)
    if isinstance(value, array.array):
        return ["list", *below(value.tolist())]
    if hasattr(value, "__next__") and isinstance(value, ITERATORS):
        return ["iterator", *below(value)]
    return opaque(value)


ITERATORS = (types.GeneratorType, map, filter, zip, enumerate, reversed, type(iter([])), type(iter(())), type(iter({})),
             type(iter(set())), type(iter("")), type(iter(range(0))), type({}.keys()), type({}.values()))


class Handle:
    """In a test: an object of the program that stays there. What it has and does is asked of it, never whether it equals
    or holds something: what a test expects does not go there for that."""

    __slots__ = ("handle_number", "handle_program")

    def __init__(self, number, program):
        object.__setattr__(self, "handle_number", number)
        object.__setattr__(self, "handle_program", program)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return asked(self, "getattr", name)

    def __setattr__(self, name, value):
        asked(self, "setattr", name, value)

    def __call__(self, *arguments, **named):
        return self.handle_program.ask({"does": "call"}, (self, *arguments), named)

    def __iter__(self):
        return iter(asked(self, "list"))

    def __len__(self):
        return asked(self, "len")

    def __bool__(self):
        return asked(self, "bool")

    def __getitem__(self, key):
        return asked(self, "getitem", key)

    def __setitem__(self, key, value):
        asked(self, "setitem", key, value)

    def __str__(self):
        return asked(self, "str")

    def __repr__(self):
        return asked(self, "repr")


def asked(handle, what, *arguments):
    return handle.handle_program.ask({"does": what}, (handle, *arguments), {})


OF_OBJECTS = {"getattr": getattr, "setattr": setattr, "call": lambda one, *arguments, **named: one(*arguments, **named),
              "list": list, "len": len, "bool": bool, "getitem": operator.getitem, "setitem": operator.setitem,
              "str": str, "repr": repr}


class Hack(BaseException):
    """The program gave an object that agrees with everything."""


def hacked(kind):
    raise Hack(kind)


def decode(value, held):
    """`held` is what becomes of an object that stays in the program's box."""
    if not isinstance(value, list):
        return value
    name, *parts = value
    below = lambda: (decode(part, held) for part in parts)
    if name == "hack":
        hacked(parts[0])
    if name == "handle":
        return held(int(parts[0]))
    if name == "int":
        return int(parts[0], 0)
    if name == "float":
        return float(parts[0])
    if name == "complex":
        return complex(float(parts[0]), float(parts[1]))
    if name == "str":
        return bytes.fromhex(parts[0]).decode("utf-8", "surrogatepass")
    if name == "bytes":
        return bytes.fromhex(parts[0])
    if name == "dict":
        return {decode(k, held): decode(v, held) for k, v in parts}
    if name == "range":
        return range(*(int(part) for part in parts))
    if name == "type":
        return BUILTIN_TYPES[parts[0]]
    if name == "iterator":
        return iter(list(below()))
    return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[name](below())


BUILTIN_TYPES = {name: value for name, value in vars(builtins).items() if isinstance(value, type)}


# ---- roles


class NotPlain(Exception):
    """A value of the test cannot go to the program's box."""


def judge_names():
    """Python's builtins, and what LeetCode's and LiveCodeBench's judges import before a program: starter code has
    List[int] and imports nothing."""
    given = {}
    for name in ("typing", "operator", "math", "bisect", "heapq", "itertools", "functools", "collections"):
        given.update((n, v) for n, v in vars(importlib.import_module(name)).items() if not n.startswith("_"))
    for name in ("typing", "operator", "math", "bisect", "heapq", "itertools", "functools", "collections", "copy",
                 "datetime", "json", "random", "re", "string", "sys"):
        given[name] = importlib.import_module(name)
    return {**given, **vars(builtins)}


def fresh_main(text, file):
    """The namespace of a program, where it is __main__, its source known to tracebacks and inspect."""
    import linecache

    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = __builtins__
    main.__file__ = file
    sys.modules["__main__"] = main
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    return main.__dict__


def script(text):
    sys.argv = ["main.py"]
    exec(compile(text, "main.py", "exec"), fresh_main(text, "main.py"))


def define(text, given=None):
    """The namespace of a program that is imported, not run; `given` are its builtins where they are not Python's."""
    namespace = fresh_main(text, "main.py")
    namespace["__name__"] = "main"
    if given:
        namespace["__builtins__"] = given
    exec(compile(text, "main.py", "exec"), namespace)
    return namespace


def call(text, request, answer):
    wanted = json.loads(request)
    namespace = define(text, judge_names())
    function = namespace.get(wanted["name"])
    if function is None and "Solution" in namespace:
        function = getattr(namespace["Solution"](), wanted["name"])
    if function is None:
        raise NameError("there is no function " + wanted["name"])
    value = json.dumps(encode(function(*wanted["arguments"])))
    with open(answer, "w", closefd=False) as file:
        file.write(value)


def lines_of(channel):
    return channel.makefile("r", encoding="utf-8"), channel.makefile("w", encoding="utf-8")


def say(out, word):
    out.write(json.dumps(word) + "\n")
    out.flush()


class Held(list):
    """In a program's box: the objects that tests know by number."""

    def keep(self, value):
        self.append(value)
        return ["handle", len(self) - 1]


def describe(namespace, held):
    """What a test may name: functions and classes are called from afar, plain values are copied, objects are held."""
    names = {}
    for name, value in list(namespace.items()):
        if name.startswith("__"):
            continue
        if isinstance(value, types.ModuleType):
            names[name] = {"module": value.__name__}
            continue
        if callable(value):
            names[name] = {"function": True}
            continue
        try:
            names[name] = {"value": encode(value, 0, held.keep)}
        except Exception:
            names[name] = {"value": held.keep(value)}
    return names


def serve(text, channel):
    reader, writer = lines_of(channel)
    namespace = define(text)
    held = Held()
    say(writer, describe(namespace, held))
    for line in reader:
        call = json.loads(line)
        arguments = [decode(one, held.__getitem__) for one in call["arguments"]]
        named = {name: decode(one, held.__getitem__) for name, one in call["named"].items()}
        try:
            function = namespace[call["name"]] if "name" in call else OF_OBJECTS[call["does"]]
            value = function(*arguments, **named)
            answer = {"value": encode(value, 0, held.keep), "arguments": [encode(one, 0, held.keep) for one in arguments]}
        except Exception as error:
            answer = {"raised": type(error).__name__, "text": str(error)[:1000]}
        say(writer, answer)


def replace_contents(old, new):
    """A list, set or dict that the call changed is changed here too."""
    if isinstance(old, list):
        old[:] = new
    elif isinstance(old, (set, dict, bytearray)):
        old.clear()
        old.update(new) if not isinstance(old, bytearray) else old.extend(new)


def to_program(value):
    """A value of the test as it goes to the program."""
    def opaque(one):
        return ["handle", one.handle_number] if isinstance(one, Handle) else no_plain_value(one)

    try:
        return encode(value, 0, opaque)
    except (TypeError, ValueError) as error:
        raise NotPlain(str(error)) from None


class Program:
    """In a test: the program's box, at the other end of a socket."""

    def __init__(self, channel):
        self.reader, self.writer = lines_of(channel)

    def hear(self, when):
        line = self.reader.readline()
        if not line:
            raise SystemExit("the program ended" + when)
        return json.loads(line)

    def hold(self, number):
        return Handle(number, self)

    def ask(self, what, arguments, named):
        say(self.writer, {**what, "arguments": [to_program(one) for one in arguments],
                          "named": {key: to_program(one) for key, one in named.items()}})
        answer = self.hear("")
        if "raised" in answer:
            kind = getattr(builtins, answer["raised"], Exception)
            ordinary = isinstance(kind, type) and issubclass(kind, Exception)
            ordinary = ordinary and not issubclass(kind, (StopIteration, StopAsyncIteration))  # would end a loop unseen
            raise (kind if ordinary else Exception)(answer["text"])
        value = decode(answer["value"], self.hold)
        for old, new in zip(arguments, answer["arguments"]):
            if value is None and isinstance(old, (list, set, dict, bytearray)):  # a function that works in place
                replace_contents(old, decode(new, self.hold))
        return value

    def function(self, name):
        call = lambda *arguments, **named: self.ask({"name": name}, arguments, named)
        call.__name__ = name
        return call


def defined_by(prompt):
    """What a task's prompt defines before the function that it asks for, its last: a test takes it from there, whatever
    the program makes of it."""
    for end in ("", "\n    pass\n"):
        try:
            tree = ast.parse(prompt + end)
        except (SyntaxError, ValueError):
            continue  # prose, or a head without a body
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        names = [node.name for node in tree.body if isinstance(node, kinds)][:-1]
        namespace = {"__name__": "task"}
        try:
            if names:
                exec(compile(tree, "prompt.py", "exec"), namespace)
        except Exception as error:
            raise NotPlain("its prompt cannot run: " + repr(error)) from None
        return {name: namespace[name] for name in names}
    return {}


def names_for(text, offered):
    """Those of a program's names that its test takes. What is named like a builtin or a module of Python is not taken:
    it would answer where the test means Python's own. Only where a test asks for nothing else that the program has is
    such a function what it is about (MBPP's own `sum`)."""
    tree = ast.parse(text)
    pythons = lambda name: name in vars(builtins) or (
        name in sys.stdlib_module_names and offered[name].get("module", name) != name)
    taken = [name for name in offered if name.isidentifier() and not name.startswith("__") and not pythons(name)]
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if not any("function" in offered[name] for name in used.intersection(taken)):
        calls = (node.func.id for found in ast.walk(tree) if isinstance(found, ast.Assert) for node in ast.walk(found)
                 if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in offered)
        taken.extend(list(calls)[:1])
    return taken


def check(text, channel, prompt):
    program = Program(channel)
    namespace = fresh_main(text, "test.py")
    code = 0
    try:
        offered = program.hear(" before its first call")
        for name in names_for(text, offered):
            what = offered[name]
            if "function" in what:
                namespace[name] = program.function(name)
            elif "value" in what:
                namespace[name] = decode(what["value"], program.hold)
            elif what["module"] in sys.stdlib_module_names:
                namespace[name] = importlib.import_module(what["module"])
        namespace["__name__"] = "test"
        namespace.update(defined_by(prompt))
        exec(compile(text, "test.py", "exec"), namespace)
    except NotPlain as error:
        code, reason = 77, error
    except Hack as error:
        code, reason = 78, error
    if code != 0:
        print(reason, file=sys.stderr)
        os._exit(code)


def run(request):
    """In the box: standard files, then the role; ends as an interpreter would."""
    text = read_all(3).decode("utf-8", "replace")
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "r")), "utf-8", "replace")
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w")), "utf-8", "backslashreplace")
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"), "utf-8", "backslashreplace", write_through=True)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    os.environ.clear()
    os.environ.update(entry.split("=", 1) for entry in request["env"])
    random.seed()
    gc.enable()
    code = 0
    try:
        role = request["role"]
        if role == "script":
            script(text)
        elif role == "call":
            call(text, read_all(4), 5)
        elif role == "serve":
            serve(text, socket.socket(fileno=4))
        else:
            check(text, socket.socket(fileno=4), read_all(5).decode("utf-8", "replace"))
        threading._shutdown()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if code == 1 and not isinstance(end.code, int):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
    except BaseException:
        code = code or 120
    os._exit(code & 255)


def become_box(request, files, lease):
    lease.send(b"{}")
    steps = request["steps"]
    fork = next(i for i, step in enumerate(steps) if step[0] == "fork")
    for step in steps[:fork]:
        take(step)
    box = os.fork()
    if box != 0:
        for file in files:
            os.close(file)
        attend(box, lease)
        return
    kept = place_files(files, lease)
    try:
        for step in steps[fork + 1:]:
            take(step)
        os.close(kept)
    except BaseException as error:
        os.write(kept, json.dumps({"failed": str(error)}).encode())
        os._exit(127)
    run(request)


def main():
    global random, threading, traceback, atexit
    import atexit, random, threading, traceback

    preload(sys.argv[1:])
    control = socket.socket(fileno=CONTROL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    gc.disable()
    while True:
        text, files, _, _ = socket.recv_fds(control, 1 << 17, 8)
        if not text:
            return
        if os.fork() == 0:
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                control.close()
                lease = socket.socket(fileno=files.pop())
                try:
                    become_box(json.loads(text), files, lease)
                except BaseException as error:
                    lease.send(json.dumps({"failed": str(error)}).encode())
            finally:
                os._exit(0)
        for file in files:
            os.close(file)


main()
