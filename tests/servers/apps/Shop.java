import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;
import java.util.logging.Level;
import java.util.logging.Logger;

/** A small shop in Java that logs with java.util.logging, and fails as told: Shop.java PORT FAULT. */
public class Shop {
    private static final Logger LOG = Logger.getLogger("shop.Orders");

    static class OrderException extends RuntimeException {
        OrderException(String message, Throwable cause) {
            super(message, cause);
        }
    }

    static int each(int cents, int count) {
        return cents / count;
    }

    static void handle(int number, int count) {
        LOG.info("order " + number + ": " + each(1999 + number, count) + " cents each, 0 errors");
    }

    static void handleLong(int number, String item) {
        try {
            LOG.info("item " + item.trim());
        } catch (NullPointerException error) {
            throw new OrderException("order " + number + " is incomplete", error);
        }
    }

    static void connect(String host, int port, int timeout) throws IOException {
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(host, port), timeout);
        }
    }

    static void failing(String fault, int port, int number) throws IOException {
        switch (fault) {
            case "zero" -> handle(number, 0);
            case "caused" -> handleLong(number, null);
            case "refused" -> connect("127.0.0.1", port, 2000);
            case "nameless" -> new Socket("backend.invalid", 80).close();
            case "slow" -> {
                try (Socket socket = new Socket("127.0.0.1", port)) {
                    socket.setSoTimeout(200);
                    socket.getInputStream().read();
                }
            }
            default -> { }
        }
    }

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[0]);
        String fault = arguments.length > 1 ? arguments[1] : "";
        LOG.info("listening on port " + port + ", error page /error.html, maxErrors=0");
        for (int number = 0; number < 30; number++) {
            handle(number, 1 + number % 3);
        }
        for (int number = 1000; number < 1003; number++) {
            try {
                failing(fault, port, number);
            } catch (Exception error) {
                LOG.log(Level.SEVERE, "order " + number + " failed", error);
            }
        }
        switch (fault) {
            case "uncaught" -> handle(1000, 0);
            case "thread" -> {
                Thread worker = new Thread(() -> handle(1000, 0), "worker-1");
                worker.start();
                worker.join();
            }
            case "memory" -> {
                List<byte[]> held = new ArrayList<>();
                while (true) {
                    held.add(new byte[1 << 20]);
                }
            }
            case "stack" -> recurse(1);
            case "port" -> new ServerSocket(port, 1, java.net.InetAddress.getLoopbackAddress());
            default -> { }
        }
        LOG.info("stopped, 0 failed");
    }

    static int recurse(int depth) {
        return recurse(depth + 1) + 1;
    }
}
