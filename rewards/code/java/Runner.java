// Runs a Java program on its tests, in a box: one JVM, a fresh class loader for each test. Arguments: the program's jar
// and the first test to run. Standard input holds the inputs (number of tests; for each its length and bytes), standard
// output takes the answers.
// An answer: the number of the test; 'b' when it begins, 'o' with a part of its output, 'e' when it ends or 't' when it
// threw; the length of the part and the part. A program that leaves by System.exit or Runtime.halt has given what it had
// printed by then; the parent knows the exit code and starts another JVM for the tests that are left. A test that is out
// of time ends the JVM. Nothing here knows what a test expects.
import java.io.*;
import java.lang.reflect.*;
import java.util.*;
import java.util.jar.*;

public class Runner {
  static final DataOutputStream answers = new DataOutputStream(new FileOutputStream(FileDescriptor.out));
  static final int LIMIT = Integer.getInteger("output", 16 << 20);
  static final long TIME = Long.getLong("milliseconds", 10_000) * 1_000_000; // nanoseconds of a test
  static final int OUT_OF_TIME = 124, TOO_MUCH_OUTPUT = 125; // exit codes
  static int test = -1;
  static volatile long begun = Long.MAX_VALUE; // nanoseconds

  /** Output goes to the parent as it comes, as to a file: what is flushed survives the JVM. */
  static final class Output extends OutputStream {
    int count = 0;

    @Override
    public synchronized void write(byte[] bytes, int from, int length) throws IOException {
      count += length;
      if (count > LIMIT) Runtime.getRuntime().halt(TOO_MUCH_OUTPUT);
      say('o', bytes, from, length);
    }

    @Override
    public void write(int one) throws IOException {
      write(new byte[] {(byte) one}, 0, 1);
    }
  }

  static final class Loader extends ClassLoader {
    final Map<String, byte[]> classes;

    Loader(Map<String, byte[]> classes) {
      super(ClassLoader.getPlatformClassLoader());
      this.classes = classes;
    }

    @Override
    protected Class<?> findClass(String name) throws ClassNotFoundException {
      byte[] bytes = classes.get(name);
      if (bytes == null) throw new ClassNotFoundException(name);
      return defineClass(name, bytes, 0, bytes.length);
    }
  }

  static Map<String, byte[]> classesOf(String file) throws IOException {
    Map<String, byte[]> classes = new LinkedHashMap<>();
    try (JarInputStream jar = new JarInputStream(new FileInputStream(file))) {
      for (JarEntry entry; (entry = jar.getNextJarEntry()) != null;)
        classes.put(entry.getName().replace(".class", "").replace('/', '.'), jar.readAllBytes());
    }
    return classes;
  }

  static Method mainOf(Loader loader) throws Exception {
    List<String> names = new ArrayList<>(loader.classes.keySet());
    names.sort(Comparator.comparing(name -> !(name.equals("Main") || name.endsWith(".Main"))));
    for (String name : names)
      try {
        Method main = loader.loadClass(name).getDeclaredMethod("main", String[].class);
        if (Modifier.isStatic(main.getModifiers())) {
          main.setAccessible(true);
          return main;
        }
      } catch (NoSuchMethodException none) {
        continue;
      }
    throw new NoSuchMethodException("no class has a main(String[])");
  }

  static synchronized void say(char what, byte[] bytes, int from, int length) throws IOException {
    ByteArrayOutputStream whole = new ByteArrayOutputStream(length + 9);
    DataOutputStream line = new DataOutputStream(whole);
    line.writeInt(test);
    line.writeByte(what);
    line.writeInt(length);
    line.write(bytes, from, length);
    answers.write(whole.toByteArray());
  }

  static void say(char what) throws IOException {
    say(what, new byte[0], 0, 0);
  }

  /** Runs main; whether it threw. */
  static boolean threw(Map<String, byte[]> classes, PrintStream errors) {
    try {
      mainOf(new Loader(classes)).invoke(null, (Object) new String[0]);
      return false;
    } catch (Throwable fault) {
      errors.println(fault instanceof InvocationTargetException ? fault.getCause() : fault);
      return true;
    }
  }

  /** A program ends with the last of its threads that are no daemons. */
  static void join(ThreadGroup group) throws InterruptedException {
    for (boolean some = true; some;) {
      some = false;
      Thread[] threads = new Thread[group.activeCount() + 8];
      for (int i = group.enumerate(threads); i-- > 0;)
        if (!threads[i].isDaemon()) {
          threads[i].join();
          some = true;
        }
    }
  }

  static void run(Map<String, byte[]> classes, byte[] input, PrintStream errors) throws Exception {
    PrintStream out = new PrintStream(new BufferedOutputStream(new Output(), 8192), true, "UTF-8"); // as System.out is
    System.setIn(new ByteArrayInputStream(input));
    System.setOut(out);
    say('b');
    begun = System.nanoTime();
    ThreadGroup group = new ThreadGroup("program");
    boolean[] threw = new boolean[1];
    Thread main = new Thread(group, () -> threw[0] = threw(classes, errors), "main");
    main.start();
    main.join();
    join(group);
    System.out.flush();
    out.flush();
    begun = Long.MAX_VALUE;
    say(threw[0] ? 't' : 'e');
  }

  static void watch() {
    try {
      for (;; Thread.sleep(10)) {
        long now = System.nanoTime(), since = begun;
        if (since != Long.MAX_VALUE && now - since > TIME) Runtime.getRuntime().halt(OUT_OF_TIME);
      }
    } catch (InterruptedException none) {
      return; // the program's doing: the parent's clock ends it
    }
  }

  public static void main(String[] arguments) throws Exception {
    Map<String, byte[]> classes = classesOf(arguments[0]);
    int first = Integer.parseInt(arguments[1]);
    PrintStream errors = System.err;
    Thread watch = new Thread(Runner::watch);
    watch.setDaemon(true);
    watch.start();
    try (DataInputStream inputs = new DataInputStream(new BufferedInputStream(new FileInputStream(FileDescriptor.in)))) {
      int count = inputs.readInt();
      for (int i = 0; i < count; ++i) {
        byte[] input = new byte[inputs.readInt()];
        inputs.readFully(input);
        if (i < first) continue;
        test = i;
        run(classes, input, errors);
      }
    }
    Runtime.getRuntime().halt(0); // what threads and hooks of the program are left has no part in its answers
  }
}
