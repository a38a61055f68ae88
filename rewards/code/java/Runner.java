// Runs a Java program on its tests, in a box: one JVM, a fresh class loader for each test. Arguments: the program's jar
// and the first test to run. Standard input holds the inputs (number of tests; for each its length and bytes), standard
// output takes the answers.
// An answer: number of the test, "b" when it begins; "e" with whether it threw, its output's length and its output when
// it ends. A program that calls System.exit leaves its output through a shutdown hook, as "x": the parent knows the exit
// code and starts another JVM for the tests that are left. Nothing here knows what a test expects.
import java.io.*;
import java.lang.reflect.*;
import java.util.*;
import java.util.jar.*;

public class Runner {
  static final DataOutputStream answers = new DataOutputStream(new FileOutputStream(FileDescriptor.out));
  static final int LIMIT = Integer.getInteger("output", 16 << 20);
  static int test = -1;
  static ByteArrayOutputStream output;

  static final class Bounded extends ByteArrayOutputStream {
    @Override
    public synchronized void write(byte[] bytes, int from, int length) {
      if (count + length > LIMIT) Runtime.getRuntime().halt(125);
      super.write(bytes, from, length);
    }

    @Override
    public synchronized void write(int one) {
      if (count >= LIMIT) Runtime.getRuntime().halt(125);
      super.write(one);
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

  static synchronized void say(char what, boolean threw) throws IOException {
    byte[] bytes = what == 'b' ? new byte[0] : output.toByteArray();
    ByteArrayOutputStream whole = new ByteArrayOutputStream();
    DataOutputStream line = new DataOutputStream(whole);
    line.writeInt(test);
    line.writeByte(what);
    line.writeBoolean(threw);
    line.writeInt(bytes.length);
    line.write(bytes);
    answers.write(whole.toByteArray());
  }

  static boolean run(Map<String, byte[]> classes, byte[] input, PrintStream errors) throws Exception {
    InputStream in = new ByteArrayInputStream(input);
    output = new Bounded();
    PrintStream out = new PrintStream(output, false, "UTF-8");
    System.setIn(in);
    System.setOut(out);
    say('b', false);
    boolean threw = false;
    try {
      mainOf(new Loader(classes)).invoke(null, (Object) new String[0]);
    } catch (Throwable fault) {
      Throwable cause = fault instanceof InvocationTargetException ? fault.getCause() : fault;
      errors.println(cause);
      threw = true;
    }
    System.out.flush();
    out.flush();
    say('e', threw);
    return threw;
  }

  public static void main(String[] arguments) throws Exception {
    Map<String, byte[]> classes = classesOf(arguments[0]);
    int first = Integer.parseInt(arguments[1]);
    PrintStream errors = System.err;
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      try {
        if (output != null) say('x', false);
      } catch (IOException none) {
        Runtime.getRuntime().halt(126);
      }
    }));
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
    output = null;
    System.exit(0);
  }
}
