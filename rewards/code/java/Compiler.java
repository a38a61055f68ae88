// A resident Java compiler in a box of its own: javac costs most of a second to start and a few hundredths once warm.
// Request on the socket: number of units, then for each its sources (number; name and text of each). A unit is compiled
// against the units before it. Answer: the number of units and a jar of each, or 0 and the messages.
import java.io.*;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.jar.*;
import javax.tools.*;

public class Compiler {
  static final class Source extends SimpleJavaFileObject {
    final String text;

    Source(String name, String text) {
      super(URI.create("string:///" + name), Kind.SOURCE);
      this.text = text;
    }

    @Override
    public CharSequence getCharContent(boolean ignoreErrors) {
      return text;
    }

    /** A public class may have any name. */
    @Override
    public boolean isNameCompatible(String name, Kind kind) {
      return kind == Kind.SOURCE;
    }
  }

  static final class Output extends SimpleJavaFileObject {
    final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    final String name;

    Output(String name) {
      super(URI.create("bytes:///" + name.replace('.', '/') + ".class"), Kind.CLASS);
      this.name = name;
    }

    @Override
    public OutputStream openOutputStream() {
      return bytes;
    }

    @Override
    public InputStream openInputStream() {
      return new ByteArrayInputStream(bytes.toByteArray());
    }
  }

  /** Classes stay in memory; those of earlier units are found as if they stood on the class path. */
  static final class Memory extends ForwardingJavaFileManager<JavaFileManager> {
    final Map<String, Output> earlier = new LinkedHashMap<>();
    final Map<String, Output> made = new LinkedHashMap<>();

    Memory(JavaFileManager manager) {
      super(manager);
    }

    @Override
    public JavaFileObject getJavaFileForOutput(Location where, String name, JavaFileObject.Kind kind, FileObject from) {
      Output output = new Output(name);
      made.put(name, output);
      return output;
    }

    @Override
    public Iterable<JavaFileObject> list(Location where, String folder, Set<JavaFileObject.Kind> kinds, boolean deep)
        throws IOException {
      Iterable<JavaFileObject> found = super.list(where, folder, kinds, deep);
      if (where != StandardLocation.CLASS_PATH || !kinds.contains(JavaFileObject.Kind.CLASS)) return found;
      List<JavaFileObject> all = new ArrayList<>();
      found.forEach(all::add);
      for (Output output : earlier.values()) {
        int dot = output.name.lastIndexOf('.');
        if (folder.equals(dot < 0 ? "" : output.name.substring(0, dot))) all.add(output);
      }
      return all;
    }

    @Override
    public String inferBinaryName(Location where, JavaFileObject file) {
      return file instanceof Output ? ((Output) file).name : super.inferBinaryName(where, file);
    }
  }

  static String readText(DataInputStream in) throws IOException {
    byte[] bytes = new byte[in.readInt()];
    in.readFully(bytes);
    return new String(bytes, StandardCharsets.UTF_8);
  }

  static void writeBytes(DataOutputStream out, byte[] bytes) throws IOException {
    out.writeInt(bytes.length);
    out.write(bytes);
  }

  static byte[] jarOf(Collection<Output> classes) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (JarOutputStream jar = new JarOutputStream(bytes)) {
      jar.setLevel(0);
      for (Output output : classes) {
        jar.putNextEntry(new JarEntry(output.name.replace('.', '/') + ".class"));
        jar.write(output.bytes.toByteArray());
      }
    }
    return bytes.toByteArray();
  }

  static void answer(JavaCompiler compiler, JavaFileManager files, DataInputStream in, DataOutputStream out)
      throws IOException {
    List<List<Source>> units = new ArrayList<>();
    for (int n = in.readInt(); n > 0; --n) {
      List<Source> sources = new ArrayList<>();
      for (int m = in.readInt(); m > 0; --m) sources.add(new Source(readText(in), readText(in)));
      units.add(sources);
    }
    Memory memory = new Memory(files);
    ByteArrayOutputStream jars = new ByteArrayOutputStream();
    DataOutputStream all = new DataOutputStream(jars);
    for (List<Source> unit : units) {
      memory.made.clear();
      StringWriter messages = new StringWriter();
      List<String> options = List.of("-proc:none", "-nowarn", "-g:none", "-encoding", "UTF-8");
      boolean done;
      try {
        done = compiler.getTask(messages, memory, null, options, null, unit).call();
      } catch (RuntimeException | VirtualMachineError fault) {
        messages.write("the compiler failed: " + fault);
        done = false;
      }
      if (!done) {
        out.writeInt(0);
        writeBytes(out, messages.toString().getBytes(StandardCharsets.UTF_8));
        return;
      }
      writeBytes(all, jarOf(memory.made.values()));
      memory.earlier.putAll(memory.made);
    }
    out.writeInt(units.size());
    out.write(jars.toByteArray());
  }

  public static void main(String[] arguments) throws IOException {
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    JavaFileManager files = compiler.getStandardFileManager(null, null, StandardCharsets.UTF_8);
    DataInputStream in = new DataInputStream(new BufferedInputStream(new FileInputStream(FileDescriptor.in)));
    DataOutputStream out = new DataOutputStream(new BufferedOutputStream(new FileOutputStream(FileDescriptor.out)));
    while (true) {
      answer(compiler, files, in, out);
      out.flush();
    }
  }
}
