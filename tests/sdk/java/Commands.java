package com.example.chat;

import android.content.Context;
import com.google.android.gms.tasks.Task;
import com.google.firebase.auth.FirebaseAuth;
import com.google.firebase.auth.FirebaseAuthInvalidUserException;
import com.google.firebase.auth.GetTokenResult;
import io.getstream.chat.android.client.ChatClient;
import java.io.IOException;
import java.security.Security;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Collections;
import java.util.Deque;
import java.util.Scanner;

/** Runs one command of a test a line, and prints one line as its result. */
public final class Commands {
    private static final Deque<String> FAILURES = new ArrayDeque<>(); // of the identity provider, in order
    private static int signedOut;
    private static Context context;
    private static TokenService.ServiceTokenProvider provider;
    private static TokenService.AccountSession session;
    private static TokenService.Chat chat;

    public static void main(String[] arguments) {
        Security.addProvider(new MemoryKeystore());
        FirebaseAuth.user = refresh -> new Task<>(Commands::readFirebase);
        Scanner lines = new Scanner(java.lang.System.in);
        while (lines.hasNextLine()) {
            String[] words = lines.nextLine().split(" ");
            String result;
            try {
                result = String.valueOf(run(words[0], Arrays.copyOfRange(words, 1, words.length)));
            } catch (Exception error) {
                result = "error: " + error.getMessage();
            }
            java.lang.System.out.println(result);
        }
    }

    private static GetTokenResult readFirebase() throws Exception {
        String failure = FAILURES.poll();
        if ("network".equals(failure)) {
            throw new IOException("no network");
        } else if ("disabled".equals(failure)) {
            throw new FirebaseAuthInvalidUserException("ERROR_USER_DISABLED", "the account is disabled");
        }
        return new GetTokenResult();
    }

    private static Object run(String command, String[] with) throws Exception {
        switch (command) {
            case "provider":
                signedOut = 0;
                FAILURES.clear();
                ManualLatch.PAUSES.clear();
                ManualLatch.stopAfter = Integer.MAX_VALUE;
                provider = new TokenService.ServiceTokenProvider(
                        with[0], "key", TokenService::firebaseCredential, error -> signedOut++);
                ManualLatch.stop = provider::stop;
                return "";
            case "fail":
                return FAILURES.addAll(Arrays.asList(with));
            case "stop-after":
                ManualLatch.stopAfter = ManualLatch.PAUSES.size() + Integer.parseInt(with[0]);
                return "";
            case "load":
                return provider.loadToken();
            case "passed":
                return ManualLatch.passed();
            case "longest":
                return Collections.max(ManualLatch.PAUSES);
            case "signed-out":
                return signedOut;
            case "install":
                context = new Context();
                return run("start", with);
            case "start":
                session = new TokenService.AccountSession(with[0], new TokenService.KeystoreTokenStore(context));
                session.finishSignOut();
                return "";
            case "sign-up":
                session.signUp(with[0], with[1], null);
                return "";
            case "sign-in":
                session.signIn(with[0], with[1]);
                return "";
            case "credential":
                return session.credential(Boolean.parseBoolean(with[0]));
            case "sign-out":
                session.signOut();
                return "";
            case "chat":
                signedOut = 0;
                ChatClient.calls.clear();
                chat = new TokenService.Chat(
                        context, with[0], "Ada", TokenService::firebaseCredential, error -> signedOut++);
                chat.start();
                return "";
            case "leave":
                chat.leave(() -> ChatClient.calls.add("sign in"));
                return "";
            case "event":
                ChatClient.listener.onEvent(null);
                return "";
            case "threads": // of the chat
                return Thread.getAllStackTraces().keySet().stream()
                        .filter(thread -> thread.getName().startsWith("Thread-"))
                        .count();
            case "calls":
                return String.join(", ", ChatClient.calls);
            case "lose-key":
                MemoryKeystore.key = null;
                return "";
            case "stored":
                return context.getSharedPreferences("chat-session", Context.MODE_PRIVATE).values;
            default:
                throw new IllegalArgumentException(command);
        }
    }
}
